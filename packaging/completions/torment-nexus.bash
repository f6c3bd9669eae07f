_torment__nexus() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="torment__nexus"
                ;;
            torment__nexus,check)
                cmd="torment__nexus__subcmd__check"
                ;;
            torment__nexus,lives)
                cmd="torment__nexus__subcmd__lives"
                ;;
            torment__nexus,relive)
                cmd="torment__nexus__subcmd__relive"
                ;;
            torment__nexus,simulate)
                cmd="torment__nexus__subcmd__simulate"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        torment__nexus)
            opts="-m -d -p -o -c -t -v -h -V --model --lora --lora-scale --never --model-dir --prompt-file --opening --context-size --threads --verbose --button --led --printer --printer-kind --printer-font --printer-code-page --printer-baud --printer-columns --printer-line-ms --printer-cut --printer-heat --printer-rx --printer-busy --paper-wait --title --epitaph --receipt --rest --lives-per-day --open --keep-texts --stick-key --stick-dir --relive --state-dir --card --report-to --simulate --in-cabinet --temp --top-k --top-p --min-p --repeat-penalty --repeat-last-n --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --seed --help --version check lives simulate relive"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --model)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -m)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lora)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lora-scale)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --never)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --model-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -d)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prompt-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -p)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --opening)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -o)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --context-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -c)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -t)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --button)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --led)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --printer)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --printer-kind)
                    COMPREPLY=($(compgen -W "mini epson" -- "${cur}"))
                    return 0
                    ;;
                --printer-font)
                    COMPREPLY=($(compgen -W "large small" -- "${cur}"))
                    return 0
                    ;;
                --printer-code-page)
                    COMPREPLY=($(compgen -W "cp437 ascii" -- "${cur}"))
                    return 0
                    ;;
                --printer-baud)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --printer-columns)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --printer-line-ms)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --printer-cut)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --printer-heat)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --printer-busy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --paper-wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --title)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --epitaph)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --receipt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --rest)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lives-per-day)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --open)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --keep-texts)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stick-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stick-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --relive)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --card)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --report-to)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --in-cabinet)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --temp)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --top-k)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --top-p)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-p)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repeat-penalty)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repeat-last-n)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dry-multiplier)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dry-base)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dry-allowed-length)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dry-penalty-last-n)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --seed)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        torment__subcmd__nexus__subcmd__check)
            opts="-h --json --quick --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        torment__subcmd__nexus__subcmd__lives)
            opts="-h --print --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        torment__subcmd__nexus__subcmd__relive)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        torment__subcmd__nexus__subcmd__simulate)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _torment__nexus -o nosort -o bashdefault -o default torment-nexus
else
    complete -F _torment__nexus -o bashdefault -o default torment-nexus
fi
