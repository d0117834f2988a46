"""A film: any model with a title and an overview would do."""

from __future__ import annotations

from django.db import models


class Film(models.Model):
    """A film."""

    title = models.CharField(max_length=120, unique=True)
    overview = models.TextField(blank=True)

    class Meta:
        """Films by title."""

        ordering = ("title",)

    def __str__(self) -> str:
        return self.title
