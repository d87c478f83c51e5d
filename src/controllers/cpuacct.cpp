#include "controllers/cpuacct.h"

#include <algorithm>
#include <cerrno>
#include <string>

namespace gpcsup::controllers {

using grouping::GroupId;

namespace {

struct Row {
    Attribute attribute;
    std::uint64_t Host::CpuTime::*figure;
};

constexpr AttributeType type = AttributeType::nanoseconds;
constexpr Access access = Access::read_only;

constexpr Row rows[] = {
    {{"usage", type, access, "ns", "0", "CPU time used by the group and the groups below it"},
     &Host::CpuTime::usage_ns},
    {{"user", type, access, "ns", "0", "The part of usage spent in programs"}, &Host::CpuTime::user_ns},
    {{"system", type, access, "ns", "0", "The part of usage spent in the kernel"}, &Host::CpuTime::system_ns},
    {{"estimated", type, access, "ns", "0",
      "The part of usage that is sampled: of processes whose parent ignored their end"},
     &Host::CpuTime::estimated_ns},
};

constexpr std::array table{rows[0].attribute, rows[1].attribute, rows[2].attribute, rows[3].attribute,
                           Attribute{"load", AttributeType::count, access, "per cent of a CPU", "0",
                                     "What it used in the last whole ten seconds; 0 until somebody has been "
                                     "reading it for that long"}};
static_assert(std::size(rows) + 1 == table.size());

constexpr std::chrono::seconds slot_length{10};
constexpr std::uint64_t slots_without_reader = 6;

std::uint64_t slot_of(std::chrono::nanoseconds moment) {
    return static_cast<std::uint64_t>(moment / slot_length);
}

const Registration registration("cpuacct", table, [](Host& host) -> std::unique_ptr<Controller> {
    return std::make_unique<Cpuacct>(host);
});

std::unexpected<base::Error> only_read(std::string_view attribute) {
    return base::refuse(EACCES, "cpuacct." + std::string(attribute) + " can only be read");
}

}  // namespace

std::span<const Attribute> Cpuacct::attributes() const {
    return table;
}

base::Result<> Cpuacct::create(GroupId, GroupId) {
    return {};
}

base::Result<> Cpuacct::can_set(GroupId, std::string_view attribute, const Value&) {
    return only_read(attribute);
}

base::Result<> Cpuacct::set(GroupId, std::string_view attribute, const Value&) {
    return only_read(attribute);
}

base::Result<Value> Cpuacct::get(GroupId group, std::string_view attribute) {
    if (attribute == "load") {
        return Value{load(group)};
    }
    for (const Row& row : rows) {
        if (row.attribute.name == attribute) {
            return Value{host_.cpu_time(group).*row.figure};
        }
    }
    return base::refuse(ENOENT, "there is no attribute cpuacct." + std::string(attribute));
}

std::uint64_t Cpuacct::load(GroupId group) {
    Meter& meter = meters_[group];
    meter.asked_in = slot_of(host_.now());
    wait_for_slot();
    return meter.load;
}

void Cpuacct::wait_for_slot() {
    if (waits_for_.count() == 0 && !meters_.empty()) {
        waits_for_ = (slot_of(host_.now()) + 1) * slot_length;
        host_.call_at(name(), waits_for_, [this] { end_slot(); });
    }
}

// By the time that has really passed: gpcsupd may come late.
void Cpuacct::end_slot() {
    waits_for_ = {};
    const std::chrono::nanoseconds now = host_.now();
    std::erase_if(meters_, [&](const auto& meter) {
        return meter.second.asked_in + slots_without_reader < slot_of(now);
    });
    for (auto& [group, meter] : meters_) {
        const std::uint64_t usage = host_.cpu_time(group).usage_ns;
        const auto passed = static_cast<std::uint64_t>((now - meter.began).count());
        const std::uint64_t used = usage - std::min(usage, meter.usage_ns);
        meter.load = meter.began.count() == 0 ? 0 : (used * 100 + passed / 2) / passed;
        meter.usage_ns = usage;
        meter.began = now;
    }
    wait_for_slot();
}

}  // namespace gpcsup::controllers
