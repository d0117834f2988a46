"""The project's failures: one class each, with its code in the wire contract and its exit status."""

from __future__ import annotations

from recsys.errors.secrets import scrubbed, without_accounts

# Exit statuses whose messages quote only the request: a mask there would confirm a guessed secret to the client.
ONLY_QUOTE_THE_REQUEST = frozenset({64, 65, 67})


class RecsysError(Exception):
    """A failure with a code and an exit status; its message holds no secret of this process, even from a library.

    Attributes:
        code: The `error.code` of the wire contract.
        exit_status: The exit status of the process.
        retryable: Whether the same request may succeed later.
        field: The path of the invalid field of the request, where there is one.
    """

    code = "internal"
    exit_status = 70
    retryable = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(without_accounts(message) if self.exit_status in ONLY_QUOTE_THE_REQUEST else scrubbed(message))
        self.field = field


class UsageError(RecsysError):
    """The command line is wrong."""

    code, exit_status = "usage", 64


class InvalidJson(RecsysError):
    """The input is not one JSON object."""

    code, exit_status = "invalid_json", 65


class InvalidRequest(RecsysError):
    """The input is a JSON object, but not a request of the contract."""

    code, exit_status = "invalid_request", 65


class TooLarge(RecsysError):
    """The input exceeds a limit of the contract."""

    code, exit_status = "too_large", 65


class UnknownUser(RecsysError):
    """Training did not see the user, and no events of them are known."""

    code, exit_status = "unknown_user", 67


class DatabaseUnavailable(RecsysError):
    """The database cannot be reached, or the connection broke off."""

    code, exit_status, retryable = "database_unavailable", 69, True


class InternalError(RecsysError):
    """A defect of this program."""


class DeadlineExceeded(RecsysError):
    """The request's budget is used up."""

    code, exit_status, retryable = "deadline", 75, True


class Overloaded(RecsysError):
    """Something is lacking for the moment: memory, a connection, a lock."""

    code, exit_status, retryable = "overloaded", 75, True


class AlreadyComputing(Overloaded):
    """Another process computes the same lists for everybody, and is further on, or has just done so."""


class AlreadyTraining(Overloaded):
    """Another process trains on the same folder of versions."""


class ModelRefused(RecsysError):
    """A version has a file that is damaged, unlisted or outside its folder."""

    code, exit_status = "model_refused", 77


class NoModel(RecsysError):
    """No version is published."""

    code, exit_status = "no_model", 78


class ModelMismatch(RecsysError):
    """The active version and the database do not belong together."""

    code, exit_status = "model_mismatch", 78


class SettingsError(RecsysError):
    """A setting of the environment or recsys.toml is missing, invalid or contradicts another."""

    code, exit_status = "settings", 78


class NotEnoughData(RecsysError):
    """The shop's tables hold too little data for training, which is refused (exit status 3)."""

    code, exit_status = "not_enough_data", 3


class TrainingRefused(RecsysError):
    """A trained version did not pass the gate; nothing was published (exit status 3)."""

    code, exit_status = "refused", 3
