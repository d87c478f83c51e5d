#pragma once
// Giving back the pages of code and constants that only starting needed; the next use maps them again from
// the page cache. Nothing that was written is touched.

namespace gpcsup::init {

void give_back_code();

}  // namespace gpcsup::init
