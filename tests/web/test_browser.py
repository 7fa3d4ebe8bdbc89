"""The demo page and the API in Chromium on SwiftShader, headless: playwright-core drives it."""
import web

web.need_node()
web.need_chromium()
web.need_module()
web.run("browser")
