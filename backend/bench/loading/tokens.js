/** The tokens of a load's users. They are kept, because signing one costs as much as half an answer. */
import { tokenOf } from '../../test/web/stage.js';

const tokens = new Map();

/** Return a user's token. */
export function tokenFor(user) {
  if (!tokens.has(user)) tokens.set(user, tokenOf(user));
  return tokens.get(user);
}
