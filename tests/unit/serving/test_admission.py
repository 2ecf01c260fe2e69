"""What the admission tells the application about a request that had to wait."""

from pets import serving
from pets.api.http import exchange
from pets.serving import admission


def test_the_manual_and_the_observers_know_when_a_request_began_to_wait() -> None:
    assert f'`scope["{admission.ARRIVED}"]`' in str(serving.__doc__)
    assert exchange.ARRIVED == admission.ARRIVED
