"""An embedded Kinesis: Kinesis Data Streams behind the wire protocol of the AWS SDKs, for tests, demos, simulations.

`EmbeddedKinesis` is the service as a function of a clock and a source of chance; `serve` puts it behind HTTP;
`Behaviour` says which limits hold and what goes wrong. `python -m shardlake.testing.kinesis` serves until SIGTERM.
"""

from shardlake.testing.kinesis.behaviour import KMS_FAULTS, Behaviour, Fault
from shardlake.testing.kinesis.errors import ServiceError
from shardlake.testing.kinesis.model import EmbeddedKinesis, Response
from shardlake.testing.kinesis.server import Server, serve

__all__ = ["KMS_FAULTS", "Behaviour", "EmbeddedKinesis", "Fault", "Response", "Server", "ServiceError", "serve"]
