"""The Machine Payments Protocol: a second rail behind the same policy, wallet, claims and books as x402.

    challenge     what a server asks for: `WWW-Authenticate: Payment …`, bound to its contents by an HMAC
    credential    what a client answers: `Authorization: Payment …`, and what it gets: `Payment-Receipt`
    evm           the method that settles here: an EIP-3009 authorization whose nonce is the challenge
    client        challenges as offers of the payer
    server        ASGI middleware that asks on both rails

Source: the HTTP authentication scheme "Payment" (draft-httpauth-payment) and the evm charge method, as the official Python
package pympp 0.16 speaks them; it is the peer in the tests.
"""
