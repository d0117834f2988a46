const BASIC = /^Basic +([A-Za-z0-9+/]+=*)$/i;

/**
 * Return the address and the password of HTTP basic authentication. Both are undefined if they cannot be decoded. Null is returned if the
 * request has no basic authentication.
 *
 * @param {import('express').Request} req
 * @returns {{email?: string, password?: string} | null}
 */
export function basicOf(req) {
  const encoded = BASIC.exec(req.headers.authorization ?? '')?.[1];
  if (encoded === undefined) return null;
  const [, email, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8')) ?? [];
  return { email, password };
}
