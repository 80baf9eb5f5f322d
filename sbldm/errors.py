"""What can go wrong for a user, by kind; the command line gives each kind its exit code."""


class ConfigError(ValueError):
    """Report a setting that breaks a rule (exit code 2)."""


class DataError(ValueError):
    """Refuse input data (exit code 3)."""


class RunError(LookupError):
    """Report a run, checkpoint or study that is missing, corrupt or mismatched (exit code 4)."""


class ResourceError(OSError):
    """Report a disk or a memory that does not suffice (exit code 5)."""


class DivergedError(ArithmeticError):
    """Report a loss or a gradient that is no longer finite (exit code 6)."""


class StorageError(ConnectionError):
    """Report a required database or tracking server that does not answer (exit code 7)."""
