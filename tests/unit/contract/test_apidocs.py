"""The page of fields without effect."""

from __future__ import annotations

from pathlib import Path

from kubelab.apimachinery import apidocs

PAGE = Path(__file__).parents[3] / "docs/api.md"


def test_the_page_is_what_the_contract_says() -> None:
    assert PAGE.read_text() == apidocs.page(), "run make api"


def test_the_page_names_what_is_stored_and_what_is_refused() -> None:
    page = apidocs.page()
    assert "| `spec.containers[*].livenessProbe` | stored |" in page
    assert "| `spec.hostPID` | refused: " in page
    assert "| `metadata.managedFields` | stored |" in page
