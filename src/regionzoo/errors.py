"""The one exception that users are meant to read."""


class UserError(Exception):
    """Bad input or settings: the message is one line that says what, where and what to do.

    The command line prints it as ``error: <message>`` without a traceback and exits with 2.
    """


class SceneError(UserError):
    """One scene cannot be used; the message names the scene and the file."""

    def __init__(self, scene_id: str, path: object, reason: str) -> None:
        self.scene_id, self.path, self.reason = scene_id, str(path), reason
        super().__init__(f"{scene_id}: {path}: {reason}")

    def __reduce__(self) -> tuple:
        # The default would call the class with the joined message alone when a worker process sends it back.
        return type(self), (self.scene_id, self.path, self.reason)
