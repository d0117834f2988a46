"""Every failure the project names: one class each, carrying its wire code and its exit status."""

from __future__ import annotations

from recsys.errors.secrets import scrubbed, without_accounts

ONLY_QUOTE_THE_REQUEST = frozenset({64, 65, 67})  # a mask in these would tell whoever asks that a guess was right


class RecsysError(Exception):
    """A failure with a decided answer, whose message holds no secret of this process, whatever a library put into it.

    Attributes:
        code: The `error.code` of the wire contract.
        exit_status: The status the process leaves with.
        retryable: Whether the same request may succeed later.
        field: The request field at fault, where there is one.
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
    """The input is JSON but not a request of the contract."""

    code, exit_status = "invalid_request", 65


class TooLarge(RecsysError):
    """The input exceeds a limit of the contract."""

    code, exit_status = "too_large", 65


class UnknownUser(RecsysError):
    """Nothing is known of the user: no row, no events, nothing to go on."""

    code, exit_status = "unknown_user", 67


class DatabaseUnavailable(RecsysError):
    """The database cannot be reached, or broke off."""

    code, exit_status, retryable = "database_unavailable", 69, True


class InternalError(RecsysError):
    """A defect of ours."""


class DeadlineExceeded(RecsysError):
    """The request's budget is used up."""

    code, exit_status, retryable = "deadline", 75, True


class Overloaded(RecsysError):
    """A temporary lack: memory, connections, a lock."""

    code, exit_status, retryable = "overloaded", 75, True


class ModelRefused(RecsysError):
    """A version's file is damaged, unlisted or outside its folder."""

    code, exit_status = "model_refused", 77


class NoModel(RecsysError):
    """No version is published."""

    code, exit_status = "no_model", 78


class ModelMismatch(RecsysError):
    """The active version and the database do not belong together."""

    code, exit_status = "model_mismatch", 78


class SettingsError(RecsysError):
    """The environment or recsys.toml is missing something or contradicts itself."""

    code, exit_status = "settings", 78


class NotEnoughData(RecsysError):
    """The shop's tables hold too little to train on; training is refused (exit 3)."""

    code, exit_status = "not_enough_data", 3


class TrainingRefused(RecsysError):
    """A trained candidate did not pass the gate; nothing was published (exit 3)."""

    code, exit_status = "refused", 3
