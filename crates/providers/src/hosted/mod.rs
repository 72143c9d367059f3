//! Services that are spoken to over HTTP and WebSocket: language models, recognisers, voices.
