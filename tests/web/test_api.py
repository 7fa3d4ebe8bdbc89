"""The parts of the browser's API that need no GPU: sources of bytes and what is kept, calls to the worker, a session's turns,
a look at a model before it is loaded, OpenAI's shapes, and the package with its types."""
import web

web.need_node()
web.need_module()
web.run("source", "api", "session", "inspect", "package")
