//! webhook_transport.
