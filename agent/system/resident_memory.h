// SPDX-License-Identifier: MIT
// How much memory a service that waits keeps.
#pragma once

namespace kudo {

// Gives back to the kernel what is free of the heap, from now on also when 128 KiB of it are at its end, and lets go of
// the pages of this program and its libraries, which come back from the page cache where they are needed again: most
// libraries are only bound at the start. Relocated and written pages stay. Other threads may run meanwhile.
void give_back_memory();

} // namespace kudo
