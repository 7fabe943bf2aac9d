"""The one small web server of the lab, without torch: pages that show pictures and exchange JSON messages.

How to add a page: put its HTML, CSS and JavaScript into a folder (index.html is the page; nothing is built, nothing
comes from elsewhere) and say

    server = Server()                                        # loopback, a free port, a new token
    page = server.add_page("tub", folder, title="Tub", on_message=heard, on_get=fetched)
    print(server.start(page))                                # the address to open; the server has a thread of its own

`Page.publish` shows pictures and states to everybody, `Page.send` sends a message, `heard` gets what a page sends, and
`fetched` answers GET requests below /tub/data/. In the page, `/shared/stream.js` does the other half:

    import { connect } from "/shared/stream.js";
    const link = connect({ pictures: { main: canvas }, onState: { now: draw }, onMessage: console.log });
    link.send({ type: "hello" });
"""
