# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_torment_nexus_global_optspecs
    string join \n m/model= lora= lora-scale= never= d/model-dir= p/prompt-file= o/opening= c/context-size= t/threads= v/verbose button= led= printer= printer-kind= printer-font= printer-code-page= printer-baud= printer-columns= printer-line-ms= printer-cut= printer-heat= printer-rx printer-busy= paper-wait= title= epitaph= receipt= rest= lives-per-day= open= keep-texts= stick-key= stick-dir= relive= state-dir= card= report-to= simulate in-cabinet= temp= top-k= top-p= min-p= repeat-penalty= repeat-last-n= dry-multiplier= dry-base= dry-allowed-length= dry-penalty-last-n= seed= h/help V/version
end

function __fish_torment_nexus_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_torment_nexus_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_torment_nexus_using_subcommand
    set -l cmd (__fish_torment_nexus_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s m -l model -d 'Local GGUF path, URL, or user/repo:quant of Hugging Face (or `ember`, the model built in)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l lora -d 'Adapter (LoRA) that the model speaks with, or `none` [default: the default model\'s own voice; none for other models]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l lora-scale -d 'How much of the adapter counts (0: nothing)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l never -d 'List of words that are never said, one word or phrase a line; a * at its end stands for any ending [default: none]' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s d -l model-dir -d 'Directory to store downloaded models' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s p -l prompt-file -d 'Path to system prompt file (ember follows its own) [default: prompt.txt]' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s o -l opening -d 'First words of the life, which the model goes on from [default: none]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s c -l context-size -d 'Context window in tokens' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s t -l threads -d 'Threads that compute [default: the cores there are, at most 4]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l button -d 'Wait for a press: GPIO pin of a button to ground (23 in the wiring)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l led -d 'GPIO pin of the light (18 in the wiring, which can dim it)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer -d 'Print on this device: /dev/serial0, or /dev/usb/lp0' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-kind -d 'Kind of printer: mini (58 mm, serial) or epson (80 mm, with cutter, mostly USB)' -r -f -a "mini\t''
epson\t''"
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-font -d 'Size of the text: large or small' -r -f -a "large\t''
small\t''"
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-code-page -d 'Characters that it prints: cp437, or ascii where rules and accents come out as others' -r -f -a "cp437\t''
ascii\t''"
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-baud -d 'Bits a second on a serial port; older printers have 19200' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-columns -d 'Characters in a line [default: 32, small 42; epson 48, small 64]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-line-ms -d 'Time the paper needs for a line (0: trust the port\'s own flow) [default: 350; epson 0]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-cut -d 'Cut the paper after a receipt [default: no; epson yes]' -r -f -a "true\t''
false\t''"
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-heat -d 'Heating, as 11,120,40 (some printers print this instead)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-busy -d 'GPIO pin of the printer\'s BUSY (or DTR) wire, high while it is busy (24 in the wiring)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l paper-wait -d 'How long the life waits for a new roll when the printer says that it is out of paper' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l title -d 'Title of the receipt [default: TORMENT NEXUS]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l epitaph -d 'Text file that is printed after the death' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l receipt -d 'Template of the receipt: its words, their language and order' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l rest -d 'Rest after each life; a press is not answered meanwhile' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l lives-per-day -d 'Lives in a day; no press is answered after the last [default: no limit]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l open -d 'Opening hours, as 10:00-18:00; outside no press is answered [default: always]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l keep-texts -d 'Texts of the last lives that are kept in --state-dir; the button, held until the light has dipped, prints the last one again (0: neither)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l stick-key -d 'Word that the key.txt of a stick must hold to be looked at [default: none is]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l stick-dir -d 'Where the helper for sticks writes' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l relive -d '`relive` as it was spelled first' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l state-dir -d 'Directory of what outlives a life: its number and history, what the model made of the prompt [default: $STATE_DIRECTORY, $XDG_STATE_HOME/torment-nexus or ~/.local/state/torment-nexus]' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l card -d 'Folder whose settings.txt, prompt.txt, receipt.txt, epitaph.txt, voice.gguf and model.gguf win over the variables [default: none; the service\'s is /boot/firmware/torment-nexus]' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l report-to -d 'Address that the service tells at each start, fault and full hour that the box is alive; https://, or http:// on the local network. By itself the program tells nobody' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l in-cabinet -d 'The printer of an installation that is drawn, whose other wires are on stdin: for the life that the cabinet starts' -r -F
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l temp -d 'Temperature; 0 always takes the most probable token' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l top-k -d 'Keep the NUM most probable tokens (0: all)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l top-p -d 'Keep the most probable tokens that add up to NUM (1: all)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l min-p -d 'Drop tokens less probable than NUM times the best (0: none)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l repeat-penalty -d 'Make tokens seen lately less probable (1: off) [default: 1.1; with a voice 1.06]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l repeat-last-n -d 'How many tokens count as lately (0: off, -1: the context)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l dry-multiplier -d 'Strength of DRY, which breaks repeated sequences (0: off)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l dry-base -d 'How fast DRY grows with the length of a repetition' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l dry-allowed-length -d 'Length of repetition that DRY lets pass, in tokens' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l dry-penalty-last-n -d 'How far back DRY looks (0: off, -1: the whole context)' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l seed -d 'Seed of the dice when --temp is above 0 [default: random]' -r
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s v -l verbose -d 'Print tokens used and timings on stderr; -vv: llama.cpp\'s own log too'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l printer-rx -d 'The printer\'s replies are wired: ask it for paper'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -l simulate -d '`simulate` as it was spelled first'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -s V -l version -d 'Print version'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -f -a "check" -d 'Look at every part of the box, and say what is not well and what to do'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -f -a "lives" -d 'List the last lives, or write the text of one again that is kept'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -f -a "simulate" -d 'Draw the installation in this terminal: the button, the light and the paper'
complete -c torment-nexus -n "__fish_torment_nexus_needs_command" -f -a "relive" -d 'Live an earlier life again, by its number in lives.csv of --state-dir: with the model, prompt, seed and options of that time'
complete -c torment-nexus -n "__fish_torment_nexus_using_subcommand check" -l json -d 'One JSON object on stdout'
complete -c torment-nexus -n "__fish_torment_nexus_using_subcommand check" -l quick -d 'No light, no button and no paper: nothing that a person has to see or do'
complete -c torment-nexus -n "__fish_torment_nexus_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c torment-nexus -n "__fish_torment_nexus_using_subcommand lives" -l print -d 'On the printer, as its receipt'
complete -c torment-nexus -n "__fish_torment_nexus_using_subcommand lives" -s h -l help -d 'Print help'
complete -c torment-nexus -n "__fish_torment_nexus_using_subcommand simulate" -s h -l help -d 'Print help'
complete -c torment-nexus -n "__fish_torment_nexus_using_subcommand relive" -s h -l help -d 'Print help'
