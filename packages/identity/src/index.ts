export {
  generateSigningKey,
  readSigningKeys,
  type Jwks,
  type PublicJwk,
  type SigningKeys,
} from './keys.ts'
export { localKeys, remoteKeys, type KeySource, type RemoteKeysOptions } from './key-source.ts'
export {
  accessTokenKind,
  internalTokenKind,
  serviceTokenKind,
  type TokenKind,
} from './token-kind.ts'
export { createSigner, type SignedToken, type SignerOptions, type TokenSubject } from './signer.ts'
export { type Verifier } from './verifier.ts'
export { type Principal, type ServicePrincipal } from './claims.ts'
export { accessTokens, type AccessTokens, type AccessTokensOptions } from './access-tokens.ts'
export {
  internalTokens,
  internalTokenVerifier,
  type InternalTokensOptions,
} from './internal-tokens.ts'
export { serviceTokens } from './service-tokens.ts'
export { bearerAuthentication, type Authenticate } from './authenticate.ts'
export { jwksPath, publishJwks } from './jwks-route.ts'
