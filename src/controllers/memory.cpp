#include "controllers/memory.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

namespace gpcsup::controllers {

namespace {

using std::chrono::milliseconds;

// All attributes of a group that are asked for together are of one sample.
constexpr milliseconds fresh_for{100};
// A look takes a quarter of the time since the last one, of whatever group: who asks on and on gets poor
// samples, and nobody else waits for him.
constexpr milliseconds most_time{50};
constexpr milliseconds least_time{4};
constexpr int part_of_time = 4;

constexpr std::array table{
    Attribute{"rss", AttributeType::count, Access::read_only, "bytes", "0",
              "Sum of the resident memory of all members here and below; what they share counts for each"},
    Attribute{"pss", AttributeType::count, Access::read_only, "bytes", "0",
              "The same with each shared page divided among all who have it"},
    Attribute{"estimated", AttributeType::count, Access::read_only, "bytes", "0",
              "The part of pss that is rss: of members whose pages may not be seen, or not in 50 ms"},
    Attribute{"unread", AttributeType::count, Access::read_only, "processes", "0",
              "Members that are in no sum: gone meanwhile, or not reached in 50 ms"},
    Attribute{"peak_rss", AttributeType::count, Access::read_only, "bytes", "0",
              "The highest rss that anybody was shown since gpcsupd started: sampled, not measured"},
};

const Registration registration("memory", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Memory>(host);
});

std::unexpected<base::Error> only_read(std::string_view attribute) {
    return base::refuse(EACCES, "memory." + std::string(attribute) + " can only be read");
}

}  // namespace

std::span<const Attribute> Memory::attributes() const {
    return table;
}

base::Result<> Memory::create(grouping::GroupId group, grouping::GroupId) {
    samples_[group] = {};
    return {};
}

base::Result<> Memory::can_set(grouping::GroupId, std::string_view attribute, const Value&) {
    return only_read(attribute);
}

base::Result<> Memory::set(grouping::GroupId, std::string_view attribute, const Value&) {
    return only_read(attribute);
}

const Memory::Sample& Memory::sample(grouping::GroupId group) {
    Sample& known = samples_[group];
    const auto now = host_.now();
    if (known.taken.count() != 0 && now - known.taken < fresh_for) {
        return known;
    }
    const auto budget =
        std::clamp<std::chrono::nanoseconds>((now - last_end_) / part_of_time, least_time, most_time);
    known.use = host_.memory_use(group, budget);
    known.taken = last_end_ = host_.now();
    known.peak = std::max(known.peak, known.use.rss);
    return known;
}

base::Result<Value> Memory::get(grouping::GroupId group, std::string_view attribute) {
    if (!samples_.contains(group)) {
        return base::refuse(ENOENT, "there is no such group");
    }
    const Sample& now = sample(group);
    const std::pair<std::string_view, std::uint64_t> figures[] = {{"rss", now.use.rss},
                                                                  {"pss", now.use.pss},
                                                                  {"estimated", now.use.estimated},
                                                                  {"unread", now.use.unread},
                                                                  {"peak_rss", now.peak}};
    for (const auto& [name, figure] : figures) {
        if (name == attribute) {
            return Value{figure};
        }
    }
    return base::refuse(ENOENT, "there is no attribute memory." + std::string(attribute));
}

}  // namespace gpcsup::controllers
