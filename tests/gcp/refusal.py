"""How Google refuses."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """An error that Google answers with."""

    def __init__(self, status: int, reason: str, message: str, details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.details = status, reason, message, details or []

    @property
    def body(self) -> Json:
        """As Google writes it."""
        return {
            "error": {
                "code": self.status,
                "message": self.message,
                "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
                "details": self.details,
            }
        }
