"""Which data and settings pay off: predicts the improvement of a training from what is known before it."""

from typing import Any

from overnight.training.trainers.regressor import Regressor


class MetaLearner(Regressor):
    """Learns from recorded trainings (category "trainings"); measured by the absolute error of the improvement in %.

    Settings: see `Regressor`. The nightly training skips it below 20 recorded trainings.
    """

    def act(self, item: dict[str, Any], ctx: Any = None) -> dict[str, Any]:
        """Return the options that the input lists under `options`, the one with the largest improvement first."""
        options = [dict(one) for one in item.get("options", ())]
        expected = self.predict(options)
        order = sorted(range(len(options)), key=lambda place: -expected[place])
        return {"ranked": [{**options[place], "expected_improvement": expected[place]} for place in order]}
