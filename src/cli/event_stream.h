#pragma once
// Events in order and without gaps, over any replacement of the supervisor: what the journal has first, then
// what is signalled; after a break the journal is read again from where it stopped.

#include <cstdint>
#include <deque>
#include <string>

#include "base/result.h"
#include "control/client.h"

namespace gpcsup::cli {

class EventStream {
  public:
    EventStream(control::Client& client, std::uint64_t since) : client_(client), wanted_(since) {}

    // All that the journal has from `since` on, in chunks; an empty one is the end.
    base::Result<std::deque<std::string>> read();
    // From then on: has the supervisor signal new events.
    base::Result<> follow();
    // The next one (one JSON object). EINTR when the companion interrupts.
    base::Result<std::string> next(control::Companion* companion);

  private:
    void take(const std::string& lines);
    control::Client& client_;
    std::uint64_t wanted_;    // to ask the journal for
    std::uint64_t last_ = 0;  // number of the last one handed out or queued
    std::deque<std::string> queue_;
};

}  // namespace gpcsup::cli
