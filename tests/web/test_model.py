"""The browser's API with the built-in model, in Node on Dawn and SwiftShader."""
import web

web.need_node()
web.need_dawn()
web.need_module()
web.run("model", "kept")
