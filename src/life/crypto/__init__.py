"""Pure cryptographic primitives: hashes, curves, encodings and the message formats that are signed.

Nothing here reads a clock, draws randomness, opens a file or needs an event loop: nonces, salts and times are
arguments. Modules are imported one by one (``from life.crypto import eip3009``), so a caller loads only the curve it
uses. Errors are leaves of :class:`life.crypto.errors.CryptoError`.
"""
