"""Conversations in the browser's API with a model that has a chat template, in Node on Dawn and SwiftShader: the tokens and
the answers of the native program."""
import web

web.need_node()
web.need_dawn()
web.need_module()
web.run("chat")
