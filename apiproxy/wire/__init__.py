"""The sockets: what Twisted and Autobahn see of us."""
