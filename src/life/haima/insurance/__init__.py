"""Insurance: cover that is paid for before it begins, and claims that the journal has to bear out (HM-INS)."""
