const TABLET = /iPad|Tablet|PlayBook|Silk/i;
const MOBILE = /Mobi|iPhone|iPod|Android/i;
const LOOKED_AT = 300; // characters of a User-Agent; the words stand at its beginning

/**
 * Return the kind of device that a browser says it is on, or null where it does not say.
 *
 * @param {import('express').Request} req
 * @returns {'desktop' | 'mobile' | 'tablet' | null}
 */
export function deviceOf(req) {
  if (req.headers['sec-ch-ua-mobile'] === '?1') return 'mobile';
  const agent = (req.headers['user-agent'] ?? '').slice(0, LOOKED_AT);
  if (TABLET.test(agent) || (/Android/i.test(agent) && !/Mobi/i.test(agent))) return 'tablet';
  if (MOBILE.test(agent)) return 'mobile';
  return agent.startsWith('Mozilla/') ? 'desktop' : null; // a program is on no device
}
