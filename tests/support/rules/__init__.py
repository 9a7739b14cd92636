"""The rules that bind every step of every policy, written a second time.

From the rules of the device and of the seam, never from the policies: a fault would have to be
made twice, in two different ways, to stay unseen. A policy's checker is its file and one line in
`registry`.
"""
