import { HttpError } from '../middlewares/errors.js';
import { GuestCookie } from '../middlewares/guestCookie.js';
import { isAdmin } from '../middlewares/jwtVerify.js';
import { LOGIN, checked } from './checked.js';

/** @import { Services } from '../app.js' */

/**
 * Return the handler of logins. Unknown addresses, wrong passwords and closed accounts get the same answer. What the guest
 * did before becomes the user's.
 *
 * @param {Pick<Services, 'auth' | 'interactions' | 'settings' | 'log'>} services
 */
export function authController({ auth, interactions, settings, log }) {
  const cookie = new GuestCookie(settings);
  return {
    async login(req, res) {
      const { email, password } = checked(LOGIN, req.body);
      const account = await auth.login(email, password);
      if (account === null) throw new HttpError(401, 'The address and the password should belong together. Received: others.');
      const { token, expiresIn, user } = account;
      const { id, firstName, lastName, roleId } = user;
      if (await isJoined(cookie.read(req), id)) cookie.clear(req, res);
      res.json({ errCode: 0, data: { token, expiresIn, user: { id, email: user.email, firstName, lastName, roleId, isAdmin: isAdmin(user, settings.admins) } } });
    },
  };

  /** Whether nothing of a guest's is left to join the user. The login succeeds all the same, and the next one tries again. */
  async function isJoined(guestId, userId) {
    try {
      if (guestId !== null) await interactions.join(guestId, userId);
      return true;
    } catch (error) {
      log.warn({ err: error, userId }, 'what a guest did could not join the user');
      return false;
    }
  }
}
