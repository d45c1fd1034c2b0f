//! Many nodes on a virtual network and clock, with torn disks and checkers.
