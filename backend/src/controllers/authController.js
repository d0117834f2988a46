import { HttpError } from '../middlewares/errors.js';
import { LOGIN, checked } from './checked.js';

/** @import { Services } from '../app.js' */

/**
 * Return the handler of logins. Unknown addresses, wrong passwords and closed accounts get the same answer.
 *
 * @param {Pick<Services, 'auth'>} services
 */
export function authController({ auth }) {
  return {
    async login(req, res) {
      const { email, password } = checked(LOGIN, req.body);
      const account = await auth.login(email, password);
      if (account === null) throw new HttpError(401, 'The address and the password should belong together. Received: others.');
      const { token, expiresIn, user } = account;
      const { id, firstName, lastName, roleId } = user;
      res.json({ errCode: 0, data: { token, expiresIn, user: { id, email: user.email, firstName, lastName, roleId } } });
    },
  };
}
