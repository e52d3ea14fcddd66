// The certified provider `oidc-provider`, as the test wants it: says its issuer on the first line and serves until its input
// ends.
import { createServer } from 'node:http';

// It tells of what is fit for tests only.
console.info = () => {};
console.warn = () => {};
const [module, client, secret, audience] = process.argv.slice(2);
const { default: Provider } = await import(module);
const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: client,
      client_secret: secret,
      redirect_uris: ['https://console.example/callback'],
      grant_types: ['authorization_code', 'client_credentials'],
      response_types: ['code'],
    },
  ],
  claims: { openid: ['sub'], profile: ['preferred_username', 'name'], email: ['email'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'email', 'groups'],
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => false,
      getResourceServerInfo: () => ({ scope: 'api', audience, accessTokenFormat: 'jwt', accessTokenTTL: 600 }),
    },
  },
  extraTokenClaims: () => ({ groups: ['ops'] }),
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: 'anna', name: 'Anna B.', groups: ['data'] }),
  }),
});
server.on('request', provider.callback());
console.log(issuer);
process.stdin.on('end', () => process.exit(0)).resume();
