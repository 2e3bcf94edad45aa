"""Networks that other frameworks trained: what their files hold, as layers, and how an SB3 agent is made of them."""
