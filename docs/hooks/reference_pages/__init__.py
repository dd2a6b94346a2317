"""The parts of pages that are generated whenever the site is built."""

from collections.abc import Callable

from reference_pages.commands import commands
from reference_pages.endpoints import endpoints
from reference_pages.environment import service_settings
from reference_pages.errors import error_classes
from reference_pages.hyperparameters import hyperparameters
from reference_pages.notebook import notebook
from reference_pages.params import params
from reference_pages.prometheus import prometheus_metrics

# A page of docs/ has a line <!-- generated: NAME --> where the text of a function here belongs.
GENERATORS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "endpoints": endpoints,
    "error-classes": error_classes,
    "hyperparameters": hyperparameters,
    "params": params,
    "prometheus-metrics": prometheus_metrics,
    "quickstart-notebook": notebook,
    "service-settings": service_settings,
}
