export {
  generateSigningKey,
  readSigningKeys,
  type Jwks,
  type PublicJwk,
  type SigningKeys,
} from './keys.ts'
export { localKeys, remoteKeys, type KeySource, type RemoteKeysOptions } from './key-source.ts'
export { accessTokenKind, internalTokenKind, type TokenKind } from './token-kind.ts'
export { createSigner, type SignedToken, type SignerOptions, type TokenSubject } from './signer.ts'
export { createVerifier, type Verifier, type VerifierOptions } from './verifier.ts'
export { type Principal } from './claims.ts'
export { accessTokens, accessTokenVerifier } from './access-tokens.ts'
export {
  internalTokens,
  internalTokenVerifier,
  type InternalTokensOptions,
} from './internal-tokens.ts'
export { bearerAuthentication, type Authenticate } from './authenticate.ts'
export { jwksPath, publishJwks } from './jwks-route.ts'
