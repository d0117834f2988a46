"""The pages of ratings, suggestions, exports and runs in the admin."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from recsys_suggestions.models import Export, OfProduct, PredictionPage, PredictionRun, Rating, Suggestion, WaitingTask
from recsys_suggestions.sending import enqueue, send_waiting
from recsys_suggestions.tasks import train_surprise_model_task


class ReadOnly(admin.ModelAdmin):
    """Rows that tasks write: they can be read and deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody changes one by hand."""
        return False


class OfProductAdmin(admin.ModelAdmin):
    """Rows of a user and a product, which are read together."""

    list_select_related = ("user",)
    search_fields = ("object_id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Read the products of a page by one query."""
        return super().get_queryset(request).prefetch_related("content_object")

    @admin.display(description="product", ordering="object_id")
    def product(self, row: OfProduct) -> str:
        """Return the product's name, or the key of one that is gone."""
        return str(row.content_object or row.object_id)

    @admin.display(description="stars", ordering="value")
    def stars(self, row: OfProduct) -> str:
        """Return the stars with two digits."""
        return f"{row.value:.2f}"


@admin.register(Rating)
class RatingAdmin(OfProductAdmin):
    """Ratings; a new one replaces the active one of its pair."""

    list_display = ("user", "product", "stars", "active", "created_at")
    list_filter = ("active", "value")
    raw_id_fields = ("user",)
    date_hierarchy = "created_at"
    actions = ("train",)

    @admin.action(description="Train on all ratings, then predict", permissions=["change"])
    def train(self, request: HttpRequest, chosen: QuerySet) -> None:
        """Send the training task."""
        if enqueue(train_surprise_model_task):
            self.message_user(request, "A worker will train and predict.")
        else:
            self.message_user(request, "The broker is away; the training waits.", messages.WARNING)


@admin.register(Suggestion)
class SuggestionAdmin(ReadOnly, OfProductAdmin):
    """Suggestions, the best first."""

    list_display = ("user", "product", "stars", "did_rate", "rating_value", "updated_at", "model")
    list_filter = ("did_rate", "active")
    ordering = ("-value",)
    show_full_result_count = False


@admin.register(Export)
class ExportAdmin(ReadOnly):
    """Exports; the files lie outside of what the site serves."""

    list_display = ("kind", "n_rows", "file_name", "created_at")

    @admin.display(description="file")
    def file_name(self, export: Export) -> str:
        """Return the file's place in the folder of exports."""
        return export.file.name

    def get_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        """Leave out the file, which has no URL."""
        return ("kind", "n_rows", "file_name", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        """All fields."""
        return self.get_fields(request, obj)


class PageInline(admin.TabularInline):
    """The pages of a run."""

    model = PredictionPage
    extra = 0
    can_delete = False
    readonly_fields = ("number", "message", "n_written", "done_at")

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody adds one by hand."""
        return False


@admin.register(PredictionRun)
class PredictionRunAdmin(ReadOnly):
    """Runs with their pages."""

    list_display = ("key", "first_page", "offset", "max_pages", "created_at", "finished_at")
    exclude = ("candidates",)
    inlines = (PageInline,)


@admin.register(WaitingTask)
class WaitingTaskAdmin(ReadOnly):
    """Tasks that wait for the broker."""

    list_display = ("task", "kwargs", "created_at")
    actions = ("send",)

    @admin.action(description="Send all that wait")
    def send(self, request: HttpRequest, chosen: QuerySet) -> None:
        """Send them, as the schedule does once a minute."""
        self.message_user(request, f"{send_waiting()} tasks were sent.")
