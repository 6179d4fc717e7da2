export {
  generateSigningKey,
  readSigningKeys,
  type Jwks,
  type PublicJwk,
  type SigningKeys,
} from './keys.ts'
export { currentKeys, watchedKeys, type KeyRing, type WatchedKeysOptions } from './key-ring.ts'
export { localKeys, remoteKeys, type KeySource, type RemoteKeysOptions } from './key-source.ts'
export {
  accessTokenKind,
  internalTokenKind,
  serviceTokenKind,
  type TokenKind,
} from './token-kind.ts'
export { createSigner, type SignedToken, type SignerOptions, type TokenSubject } from './signer.ts'
export { type Verifier } from './verifier.ts'
export { type AccessPrincipal, type Principal, type ServicePrincipal } from './claims.ts'
export {
  accessTokens,
  type AccessSubject,
  type AccessTokens,
  type AccessTokensOptions,
} from './access-tokens.ts'
export {
  internalTokens,
  internalTokenVerifier,
  type InternalTokensOptions,
} from './internal-tokens.ts'
export { serviceTokens } from './service-tokens.ts'
export { bearerAuthentication, type Authenticate } from './authenticate.ts'
export { jwksPath, publishJwks } from './jwks-route.ts'
export {
  hashOpaqueToken,
  keysFor,
  newOpaqueToken,
  readSecrets,
  refreshTokens,
  type RefreshTokens,
  type TokenHash,
} from './refresh-token.ts'
export { liveRevocations, liveSet, type LiveSetDeps } from './revocation/live-set.ts'
export {
  revocationPublisher,
  type PublisherOptions,
  type RevocationLog,
  type RevocationPublisher,
  type StoredRevocation,
} from './revocation/publisher.ts'
export {
  revocationChannel,
  type Channel,
  type ChannelListener,
  type OpenChannel,
  type RevocationChannel,
  type RevocationChannelOptions,
} from './revocation/revocation-channel.ts'
export { recentMap, type RecentMap } from './recent-map.ts'
export { requireValid } from './revocation/require-valid.ts'
export { type Revocation, type TokenIdentity } from './revocation/revocation.ts'
export {
  revocations,
  type RevocationSource,
  type RevocationsOptions,
  type RevocationView,
  type Verdict,
} from './revocation/view.ts'
