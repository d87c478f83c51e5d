#pragma once
// Giving memory back to the machine after work that does not come again soon (start-up, a very long answer).
// It frees nothing that is in use.

namespace gpcsup::sys {

// Free heap goes back to the kernel; so do pages of code and constants, of the program and its libraries.
// Those are in the page cache, and what is needed again is mapped again at its next use, without a read.
// Takes about 0.1 ms.
void give_back_memory();

}  // namespace gpcsup::sys
