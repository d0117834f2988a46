"""The routes of the example site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from example.films.views import home, rate

urlpatterns = [
    path("", home, name="home"),
    path("films/<int:film_id>/rating", rate, name="rate"),
    path("login/", LoginView.as_view(template_name="films/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", include("recsys_suggestions.urls")),
]
