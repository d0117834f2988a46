"""Ratings, the suggestions predicted from them, and the state of the tasks that predict.

Products are reached through ContentType, so that any model can be rated. Their keys are kept as text: one type for
integers, UUIDs and words.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.files.storage import FileSystemStorage
from django.db import models, transaction
from django.utils import timezone

from recsys.ratings.ratings import HIGHEST, LOWEST
from recsys_suggestions.apps import option, product_model

KEY_LENGTH = 64  # characters of a product's key


def validate_stars(value: float) -> None:
    """Refuse what is no number of stars, NaN included, which is neither below nor above the scale.

    Raises:
        ValidationError: The value is outside the scale.
    """
    if not LOWEST <= value <= HIGHEST:
        raise ValidationError(f"A rating should be from {LOWEST:g} to {HIGHEST:g} stars.")


class OfProduct(models.Model):
    """What belongs to one user and one product."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    object_id = models.CharField(max_length=KEY_LENGTH)
    content_object = GenericForeignKey("content_type", "object_id")

    class Meta:
        """No table of its own."""

        abstract = True


class Rating(OfProduct):
    """Stars that a user gave. Rating a product again keeps the old row as history, which is not active any more."""

    value = models.FloatField(validators=[validate_stars])
    active = models.BooleanField(default=True)
    active_changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        """One active rating for each user and product, on databases with conditional indexes."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(value__gte=LOWEST, value__lte=HIGHEST), name="recsys_rating_within_scale"
            ),
            models.UniqueConstraint(
                fields=["user", "content_type", "object_id"],
                condition=models.Q(active=True),
                name="recsys_rating_one_active",
            ),
        ]
        indexes = [
            models.Index(fields=["content_type", "active", "object_id"], name="recsys_rating_by_object"),
            models.Index(fields=["user", "content_type", "object_id", "active"], name="recsys_rating_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.value:g} stars"

    def save(self, *args: Any, **options: Any) -> None:
        """Save, turn an older active rating of the pair into history, and mark the pair's suggestion as rated."""
        with transaction.atomic():
            if self.active:
                # Two ratings of one user wait for each other where the database locks rows.
                get_user_model()._base_manager.select_for_update().filter(pk=self.user_id).first()
                older = self._pair(Rating).filter(active=True).exclude(pk=self.pk)
                older.update(active=False, active_changed_at=timezone.now())
            super().save(*args, **options)
            if self.active:
                rated = {"did_rate": True, "did_rate_timestamp": timezone.now(), "rating_value": self.value}
                self._pair(Suggestion).update(**rated)

    def _pair(self, model: type[models.Model]) -> models.QuerySet:
        return model._default_manager.filter(
            user_id=self.user_id, content_type_id=self.content_type_id, object_id=self.object_id
        )


class Suggestion(OfProduct):
    """The stars that a user is predicted to give."""

    value = models.FloatField()
    model = models.CharField(max_length=40)  # the version that predicted
    active = models.BooleanField(default=True)
    did_rate = models.BooleanField(default=False)
    did_rate_timestamp = models.DateTimeField(null=True, blank=True)
    rating_value = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)  # upserts in bulk would not write `auto_now`

    class Meta:
        """One suggestion for each user and product; the index is the order of the list."""

        constraints = [
            models.UniqueConstraint(fields=["user", "content_type", "object_id"], name="recsys_suggestion_once")
        ]
        indexes = [models.Index(fields=["user", "content_type", "-value"], name="recsys_suggestion_best")]

    def __str__(self) -> str:
        return f"{self.value:.2f} stars predicted"


class PrivateStorage(FileSystemStorage):
    """Files without a URL."""

    def url(self, name: str | None) -> str:
        """Refuse, where the base class would give one below MEDIA_URL."""
        raise ValueError("An export should be read from its folder. It has no URL.")


def exports_storage() -> FileSystemStorage:
    """Return the folder of exports, which hold every user's ratings."""
    return PrivateStorage(location=option("EXPORTS_DIR"))


class Export(models.Model):
    """A CSV file of ratings or of products."""

    class Kind(models.TextChoices):
        """What the file holds."""

        RATINGS = "ratings"
        PRODUCTS = "products"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    file = models.FileField(storage=exports_storage, upload_to="%Y/%m")
    n_rows = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.kind} of {self.created_at:%Y-%m-%d %H:%M}"


class PredictionRun(models.Model):
    """One run over all pages. It keeps the candidates, so that nothing that changes meanwhile moves a page."""

    key = models.CharField(max_length=120, unique=True)
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    candidates = models.JSONField()  # keys of products, the most rated ones first
    first_page = models.PositiveIntegerField()
    offset = models.PositiveIntegerField()
    max_pages = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.key

    def page(self, number: int) -> list[str]:
        """Return the keys of a page's products."""
        return list(self.candidates[number * self.offset : (number + 1) * self.offset])

    def has_page(self, number: int) -> bool:
        """Return whether the run goes on to that page."""
        return number < self.first_page + self.max_pages and number * self.offset < len(self.candidates)


class PredictionPage(models.Model):
    """A page of a run, and the message that has it. A message that was delivered twice finds its own page."""

    run = models.ForeignKey(PredictionRun, on_delete=models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    message = models.CharField(max_length=120)  # the id of the Celery task
    n_written = models.PositiveIntegerField(default=0)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Each page once."""

        constraints = [models.UniqueConstraint(fields=["run", "number"], name="recsys_page_once")]

    def __str__(self) -> str:
        return f"page {self.number}"


class WaitingTask(models.Model):
    """A task that was asked for while the broker was away; it is sent when the broker is back."""

    task = models.CharField(max_length=200)
    kwargs = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.task


def product_type() -> ContentType:
    """Return the content type of the model that users rate."""
    return ContentType.objects.get_for_model(product_model())
