/** The tokens by which customers of a load are known: made once, since signing one costs as much as half an answer. */
import { tokenOf } from '../../test/web/stage.js';

const tokens = new Map();

/** Return a customer's token. */
export function tokenFor(customer) {
  if (!tokens.has(customer)) tokens.set(customer, tokenOf(customer));
  return tokens.get(customer);
}
