import { HttpError } from '../middlewares/errors.js';
import { isRowsFault } from '../config/databaseErrors.js';
import { GuestCookie } from '../middlewares/guestCookie.js';
import { EventConflict, NotCounted, UnknownProduct } from '../services/interactionService.js';
import { SpoolFailed } from '../services/spool/spool.js';
import { INTERACTION, checked } from './checked.js';

/** @import { Services } from '../app.js' */

const RETRY = { 'Retry-After': '5' };

/**
 * Return the handler of interactions: 201 if it was stored, 200 if it was stored before, 202 if it waits on the disk. A guest gets the cookie
 * with the answer to one that is kept; an impression, which is no act of theirs, brings none.
 *
 * @param {Pick<Services, 'interactions' | 'lists' | 'metrics' | 'settings'>} services
 */
export function interactionController({ interactions, lists, metrics, settings }) {
  const cookie = new GuestCookie(settings);
  return {
    async recordForCurrentUser(req, res) {
      const { userId, ...interaction } = checked(INTERACTION, req.body);
      const { session_id: session } = interaction;
      const owner = req.user ? { userId: req.user.id } : { guestId: req.guestId ?? cookie.create(session) };
      if (userId !== undefined && userId !== owner.userId) throw refused(metrics, new HttpError(403, 'An interaction should be one’s own. Received: somebody else’s.'));
      let receipt;
      try {
        receipt = await interactions.record({ ...interaction, ...owner });
      } catch (error) {
        throw refused(metrics, httpErrorOf(error));
      }
      const outcome = receipt.duplicate ? 'duplicate' : receipt.stored ? 'stored' : 'spooled';
      metrics.interaction({ outcome, clamped: receipt.clamped });
      if (session !== undefined) void lists.visited(owner, session, cookie.create(session));
      const isAct = interaction.actionCode !== 'impression';
      if (isAct && owner.guestId && !interactions.hasJoined(owner.guestId)) cookie.set(req, res, owner.guestId);
      res.status({ stored: 201, duplicate: receipt.spooled ? 202 : 200, spooled: 202 }[outcome]);
      const { eventId, stored, duplicate, spooled } = receipt;
      res.json({ errCode: 0, data: { eventId, stored, duplicate, spooled } });
    },
  };
}

function refused(metrics, error) {
  metrics.interaction({ outcome: error.status === 503 ? 'lost' : 'refused' });
  return error;
}

function httpErrorOf(error) {
  if (error instanceof UnknownProduct) return new HttpError(404, error.message, { field: 'productId' });
  if (error instanceof EventConflict) return new HttpError(409, error.message, { field: 'eventId' });
  if (error instanceof SpoolFailed) return new HttpError(503, 'The interaction could not be kept; send it again with the same `eventId`.', { headers: RETRY });
  if (error instanceof NotCounted) return new HttpError(422, error.message);
  if (isRowsFault(error)) return new HttpError(422, 'The interaction should fit the shop’s tables. Received: one that does not.');
  return error;
}
