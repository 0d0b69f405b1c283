"""WebCryptoAnima: an identity whose key is in a person's browser (anima.md §13.4, AN-WEB-1 to AN-WEB-6).

Two keys, two jobs. The **device key** is a WebCrypto P-256 key that scripts can use and not read; it signs real JWS and is
the DID. The **passkey** says that the person is there: its assertion covers exactly what the device key signs, and is
never taken for a signature of the identity.

    enrolment         the record of a browser, and its file
    ceremony          what a passkey proves, and to whom
    enrolling         from an invitation to a record
    desk              requests that wait for a person
    anima             the Custody port over the desk: tokens
    confirmed_wallet  a wallet elsewhere that asks the person in the browser first (L4-D5)
    server            the page and its routes
"""
