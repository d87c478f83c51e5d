#pragma once
// How much memory the processes of a group have, looked at now and no longer than it is allowed to take.

#include "controllers/controller.h"
#include "launch/memory_reader.h"

namespace gpcsup::supervisor {

class MemorySampler {
  public:
    explicit MemorySampler(std::string reader_program) : reader_(std::move(reader_program)) {}
    controllers::Host::MemoryUse sample(processes::ProcessTable& table, grouping::GroupId group,
                                        std::chrono::nanoseconds budget);

  private:
    launch::MemoryReader reader_;
};

}  // namespace gpcsup::supervisor
