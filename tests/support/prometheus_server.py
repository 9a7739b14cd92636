"""A real Prometheus that scrapes a test's services, asked through its HTTP API."""

import json
import math
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import pytest
import yaml

from tests.support.deployment import ROOT, Deployment
from tests.support.ports import free_port
from tests.support.running import Running
from tests.support.waiting import eventually

CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
RULES = CONFIG.with_name("rules.yml")
_SERVING = "metrics_serving"


def skip_without_prometheus() -> None:
    """Skip a test that needs it where it is not installed."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus (Debian's package prometheus) is not installed")


class PrometheusServer(Running):
    """Runs with the project's own configuration, but for addresses and the pause between scrapes.

    Args:
        folder: for its data.
        targets: HOST:PORT of each job.
        scrape_interval: as 500ms.
    """

    def __init__(self, folder: Path, targets: Mapping[str, str], scrape_interval: str) -> None:
        config = yaml.safe_load(CONFIG.read_text())
        config["global"] = {"scrape_interval": scrape_interval, "evaluation_interval": "1s"}
        config["rule_files"] = [str(RULES)]
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        self._file = folder / "prometheus.yml"
        self._file.write_text(yaml.safe_dump(config))
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"
        self.address = f"127.0.0.1:{free_port()}"
        self._command = [
            *("prometheus", f"--config.file={self._file}", f"--storage.tsdb.path={folder}/data"),
            f"--web.listen-address={self.address}",
        ]

    def begin(self) -> None:
        """Return once it answers."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        eventually(self._is_ready, self._log.read_text)

    def values(self, query: str) -> list[float]:
        """See `values_at`."""
        return values_at(self.address, query)

    def _is_ready(self) -> bool:
        try:
            _get(self.address, "/-/ready")
        except (URLError, ConnectionError):
            return False
        return True

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)


def scrape_targets(deployment: Deployment) -> Mapping[str, str]:
    """HOST:PORT of each job: services that run with --metrics-listen."""
    services = {
        "gateway": deployment.gateway,
        "tokenizer": deployment.tokenizer,
        "engine": deployment.engine,
    }
    return {
        job: next(str(told["address"]) for told in service.events if told["event"] == _SERVING)
        for job, service in services.items()
        if service is not None
    }


def values_at(address: str, query: str) -> list[float]:
    """One number for each series that answers now; what is no number is left out.

    Args:
        address: of a Prometheus, HOST:PORT.
        query: in PromQL.
    """
    asked = urllib.parse.urlencode({"query": query})
    told = json.loads(_get(address, f"/api/v1/query?{asked}"))
    assert told["status"] == "success", told
    values = [float(series["value"][1]) for series in told["data"]["result"]]
    return [value for value in values if not math.isnan(value)]


def _get(address: str, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return bytes(answer.read())
