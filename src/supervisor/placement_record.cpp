#include "supervisor/placement_record.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

// Those of a thread in which it stays are part of the move, too.
Json slots_of(const grouping::Relocation& one) {
    Json slots = Json::array();
    for (std::size_t slot = 0; slot < one.from.size(); ++slot) {
        if (one.from[slot] != one.to[slot] || (one.thread && one.from[slot].value != 0)) {
            slots.push_back({slot, one.from[slot].value, one.to[slot].value});
        }
    }
    return slots;
}

}  // namespace

bool moves_alike(const grouping::Relocation& one, const grouping::Relocation& other) {
    return one.from == other.from && one.to == other.to;
}

Json record_of_moves(std::span<const grouping::Relocation> relocations) {
    Json moves = Json::array();
    for (auto one = relocations.begin(); one != relocations.end();) {
        Json processes = Json::array();
        Json threads = Json::array();
        const auto first = one;
        for (; one != relocations.end() && moves_alike(*one, *first); ++one) {
            Json& list = one->thread ? threads : processes;
            list.push_back({one->process.pid, one->process.start_time});
            if (one->thread) {
                list.back().push_back(one->thread->tid);
                list.back().push_back(one->thread->start_time);
            }
        }
        moves.push_back({{"slots", slots_of(*first)}, {"processes", std::move(processes)}});
        if (!threads.empty()) {
            moves.back()["threads"] = std::move(threads);
        }
    }
    return {{"moves", std::move(moves)}};
}

std::vector<grouping::Relocation> moves_of_record(const Json& record) {
    std::vector<grouping::Relocation> relocations;
    for (const Json& alike : record.value("moves", Json::array())) {
        grouping::Relocation one;
        for (const Json& slot : alike.at("slots")) {
            const auto index = slot[0].get<std::size_t>();
            if (index < one.from.size()) {
                one.from[index] = GroupId{slot[1].get<std::uint32_t>()};
                one.to[index] = GroupId{slot[2].get<std::uint32_t>()};
            }
        }
        for (const Json& process : alike.at("processes")) {
            one.process = {process[0].get<pid_t>(), process[1].get<std::uint64_t>()};
            relocations.push_back(one);
        }
        for (const Json& thread : alike.value("threads", Json::array())) {
            one.process = {thread[0].get<pid_t>(), thread[1].get<std::uint64_t>()};
            one.thread = {one.process, thread[2].get<pid_t>(), thread[3].get<std::uint64_t>()};
            relocations.push_back(one);
        }
    }
    return relocations;
}

}  // namespace gpcsup::supervisor
