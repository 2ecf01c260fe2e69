"""What the admission tells the application about a request that had to wait."""

from pets import serving
from pets.serving import admission
from pets.telemetry import request_context


def test_the_manual_and_the_observers_know_when_a_request_began_to_wait() -> None:
    assert f'`scope["{admission.ARRIVED}"]`' in str(serving.__doc__)
    assert request_context.ARRIVED == admission.ARRIVED
