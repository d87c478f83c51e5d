#pragma once
// The open files of groups, counted on this machine: the book (processes/file_book.h) with the real /proc
// behind it, and a look at what groups have open elsewhere once a second while there is any. Nobody tells of
// a close.

#include <optional>

#include "processes/file_book.h"
#include "supervisor/census.h"
#include "supervisor/event_loop.h"

namespace gpcsup::supervisor {

class FileService {
  public:
    // `look`: called while files of groups are open in processes that left them.
    FileService(EventLoop& loop, Census& census, const grouping::Forest& forest, std::function<void()> look);
    base::Result<> open();  // after the census

    [[nodiscard]] std::uint64_t count(grouping::GroupId group, std::uint64_t plenty = 0);
    void leave(const processes::Process& process, grouping::GroupId from);
    [[nodiscard]] processes::FileBook& book() { return *book_; }

  private:
    void look_again();

    EventLoop& loop_;
    Census& census_;
    sys::RealOpenFiles files_;
    const grouping::Forest& forest_;
    std::optional<processes::FileBook> book_;  // once there are processes to count
    std::function<void()> look_;
    Watch timer_;
};

}  // namespace gpcsup::supervisor
